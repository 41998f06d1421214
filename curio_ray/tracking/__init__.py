"""Where an iteration's figures go besides metrics.jsonl: TensorBoard, Prometheus, trackers."""
