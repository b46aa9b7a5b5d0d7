# The binary is linked statically, so that the image needs nothing but it and the CA certificates.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# Cargo wants every target of the manifest to be there, also those that are not built.
COPY tests tests
# With --target given, the flags are for the binary only and not for build scripts, which cannot be static.
RUN target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --bin apig-proxy --target "$target" \
    && cp "target/$target/release/apig-proxy" /apig-proxy

FROM scratch
LABEL org.opencontainers.image.title="apig-proxy" \
      org.opencontainers.image.description="Signs requests for Huawei Cloud API Gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /apig-proxy /apig-proxy
USER 65532:65532
ENTRYPOINT ["/apig-proxy"]
