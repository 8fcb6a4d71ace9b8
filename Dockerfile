# stompgate and stompgate-store in one image, made by the same scripts and the same preset as scripts/run, so that what is in the
# image is what the tests ran. docker-compose.yml starts everything.
#
# Written, but not yet built: there was no Docker engine where this was made. Its steps (scripts/install build page libs, the preset,
# the programs with this configuration) were run outside of Docker.
FROM debian:bookworm AS build
WORKDIR /src
COPY scripts ./scripts
RUN scripts/install build
COPY . .
RUN cmake --preset release && cmake --build build/release --target stompgate stompgate-store

FROM debian:bookworm AS page
WORKDIR /src
COPY scripts ./scripts
RUN scripts/install page
COPY examples/chat ./examples/chat
RUN ["/bin/bash", "-c", ". scripts/lib.sh && npm_install /src/examples/chat"]

FROM debian:bookworm-slim
WORKDIR /opt/stompgate
COPY scripts/install scripts/lib.sh scripts/healthy ./scripts/
RUN scripts/install libs && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/release/stompgate /src/build/release/stompgate-store /usr/local/bin/
COPY --from=page /src/examples/chat ./examples/chat
COPY examples/compose.toml /etc/stompgate/config.toml
RUN useradd --system --no-create-home stompgate
USER stompgate
EXPOSE 8080 61613
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=6s --start-period=10s CMD ["scripts/healthy", "8080"]
CMD ["stompgate", "--config", "/etc/stompgate/config.toml"]
