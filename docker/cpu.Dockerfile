# The project on CPUs: driver, dialogue runners, and the pocket models whole.
#   docker build --file docker/cpu.Dockerfile --tag curio-ray:cpu .
FROM python:3.11.14-slim-bookworm AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN python -m venv /opt/curio
# Packages change seldom and the project often: each has a layer of its own.
COPY requirements/cpu.txt requirements/
RUN torch=$(grep '^torch==' requirements/cpu.txt) \
    && /opt/curio/bin/python -m pip install --no-deps \
        --index-url https://download.pytorch.org/whl/cpu "$torch" \
    && /opt/curio/bin/python -m pip install --no-deps --requirement requirements/cpu.txt
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY curio_ray curio_ray
RUN /opt/curio/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
# rsync and the ssh client: Ray's cluster launcher copies files with them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client openssl procps rsync tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home curio
# Owned by the user: the cluster launcher installs a cloud's client into it.
COPY --from=environment --chown=curio:curio /opt/curio /opt/curio
ENV PATH=/opt/curio/bin:$PATH PYTHONUNBUFFERED=1
# The cluster launcher runs its commands in login shells, which begin with a PATH of their own.
# hadolint ignore=SC2016
RUN echo 'export PATH=/opt/curio/bin:$PATH' > /etc/profile.d/curio.sh
USER 1000:1000
WORKDIR /home/curio/curio
COPY --chown=curio:curio configs configs
EXPOSE 6379 8265 10001
# Whether this container's Ray node answers; one that runs a single command without Ray has none.
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=4 \
    CMD ["ray", "health-check", "--skip-version-check"]
ENTRYPOINT ["tini", "--"]
CMD ["curio", "train", "configs/pocket.yaml"]
