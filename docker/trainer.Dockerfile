# The trainer: the same, with Horovod built against the torch of the lock. For NCCL give a CUDA development image:
# docker build -f docker/trainer.Dockerfile --build-arg BASE=nvidia/cuda:13.0.1-devel-ubuntu22.04 -t nightrank-trainer:0.1.0 dist
ARG BASE=debian:bookworm-slim
# hadolint ignore=DL3006
FROM ${BASE}

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    g++ make openjdk-17-jdk-headless openssh-client procps python3.11 python3.11-dev python3.11-venv tini \
  && rm -rf /var/lib/apt/lists/*

COPY requirements.lock nightrank-*.whl /tmp/dist/
RUN python3.11 -m venv /opt/nightrank \
  && /opt/nightrank/bin/pip install --no-cache-dir --require-hashes -r /tmp/dist/requirements.lock \
  && /opt/nightrank/bin/pip install --no-cache-dir --no-deps /tmp/dist/nightrank-*.whl \
  && rm -r /tmp/dist
RUN NIGHTRANK_CACHE=/tmp/cache /opt/nightrank/bin/nightrank horovod && rm -r /tmp/cache

COPY --chmod=755 entrypoint /usr/local/bin/nightrank-entrypoint
ENV PATH=/opt/nightrank/bin:$PATH PYSPARK_PYTHON=/opt/nightrank/bin/python PYTHONUNBUFFERED=1 DO_NOT_TRACK=1
RUN useradd --uid 10001 --create-home nightrank && install --directory --owner 10001 /lake
USER 10001
WORKDIR /home/nightrank
ENTRYPOINT ["nightrank-entrypoint"]
CMD ["nightrank", "--help"]
