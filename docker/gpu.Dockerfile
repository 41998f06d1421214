# The project on NVIDIA GPUs: servers and learner. The host needs NVIDIA's driver and container
# toolkit; CUDA's libraries come with the packages.
#   docker build --file docker/gpu.Dockerfile --tag curio-ray:gpu .
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04 AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY --from=ghcr.io/astral-sh/uv:0.9.9 /uv /usr/local/bin/uv
ENV UV_PYTHON_INSTALL_DIR=/opt/python UV_NO_CACHE=1
RUN uv venv --python 3.11.14 --seed /opt/curio
# Packages change seldom and the project often: each has a layer of its own.
COPY requirements/gpu.txt requirements/
RUN uv pip install --python /opt/curio/bin/python --no-deps --requirements requirements/gpu.txt
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY curio_ray curio_ray
RUN uv pip install --python /opt/curio/bin/python --no-deps --no-build-isolation .

# The compiler and CUDA's headers stay: vLLM and Triton compile kernels when they first run.
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev openssh-client openssl procps rsync tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && userdel --remove ubuntu \
    && useradd --uid 1000 --create-home curio
COPY --from=environment /opt/python /opt/python
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
CMD ["curio", "plan", "configs/education_gemma.yaml"]
