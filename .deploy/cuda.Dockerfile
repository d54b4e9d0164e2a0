# syntax=docker/dockerfile:1
# The same server with whisper.cpp on an NVIDIA GPU, for models larger than small: smaller ones, quantised ones
# too, run on the built-in engine, on the processor.
#   docker build -t callburner:cuda -f .deploy/cuda.Dockerfile .
#   docker run --gpus all -v data:/data -p 127.0.0.1:4000:4000 --env-file .env callburner:cuda
ARG CUDA=12.9.1

FROM node:22-bookworm-slim AS client
WORKDIR /src/client
COPY client/package.json client/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY client/ ./
COPY fixtures/ ../fixtures/
RUN npm run -s build

FROM rust:1.95-bookworm AS rust

FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS server
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential cmake libopus-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
# The driver comes from the host; to link, its stub will do. Turing and newer.
ENV LIBRARY_PATH=/usr/local/cuda/lib64/stubs CMAKE_CUDA_ARCHITECTURES=75;80;86;89;90
WORKDIR /src
COPY . .
COPY --from=client /src/client/dist client/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --features cuda \
    && cp target/release/callburner /usr/local/bin/callburner

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libopus0 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin callburner \
    && install -d -o callburner -g callburner -m 700 /data
COPY --from=server /usr/local/bin/callburner /usr/local/bin/callburner
USER 10001
WORKDIR /data
VOLUME /data
ENV HOST=0.0.0.0 PORT=4000 DATA_DIR=/data MODELS_DIR=/data/models LOG_FORMAT=json
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["callburner", "healthcheck"]
ENTRYPOINT ["callburner"]
CMD ["serve"]
