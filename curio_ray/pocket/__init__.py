"""The builder of the packaged models: lessons, training, evaluation, model card."""
