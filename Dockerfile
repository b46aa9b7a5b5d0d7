# The image: one static binary, the CA certificates, and nothing else. Built by BuildKit, Podman and Buildah:
#
#     docker build -t apig-proxy .
#
# Everything is pinned by version. For the same bytes from the same sources, give the time that files get, and have
# BuildKit use it:
#
#     SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx build --output type=image,rewrite-timestamp=true .
FROM docker.io/library/rust:1.95.0-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
# Cargo wants every target of the manifest to be there, also those that are not built.
RUN sed -n 's/^path = "\(\(tests\|deploy\)\/.*\)"$/\1/p' Cargo.toml | xargs -d '\n' -n 1 install -D /dev/null
COPY src src
COPY config config
COPY deploy/cargo-static.sh deploy/
# What was downloaded and compiled before is kept from one build to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    deploy/cargo-static.sh build --profile dist --locked --bin apig-proxy \
    && install -m 0755 "target/$(rustc -vV | sed -n 's/^host: //p')/dist/apig-proxy" /apig-proxy

# From here on, all that is needed are the two files of the stage before.
FROM scratch AS image
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="apig-proxy" \
      org.opencontainers.image.description="Signs requests for Huawei Cloud API Gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /apig-proxy /apig-proxy
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/apig-proxy", "check", "live"]
ENTRYPOINT ["/apig-proxy"]
