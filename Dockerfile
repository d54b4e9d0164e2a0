# syntax=docker/dockerfile:1
# The page, the server with the page inside, and little else. Everything that lasts is in /data.
#   docker build -t callburner .

FROM node:22-bookworm-slim AS client
WORKDIR /src/client
COPY client/package.json client/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY client/ ./
COPY fixtures/ ../fixtures/
RUN npm run -s build

FROM rust:1.95-bookworm AS server
# Versions are the distribution's: a rebuild is to take its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake libopus-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=client /src/client/dist client/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && cp target/release/callburner /usr/local/bin/callburner

FROM debian:bookworm-slim
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
