# assentd and assentctl on Debian 12, from the packages that this tree makes of itself.
#
#   docker build -t assent .
#   docker run -d --name assent -p 127.0.0.1:7400:7400 -p 127.0.0.1:7480:7480 -v assent:/var/lib/assent assent
FROM debian:bookworm AS build
WORKDIR /assent
COPY . .
RUN apt-get update && apt-get install -y --no-install-recommends git ca-certificates
RUN tools/package.sh /packages

FROM debian:bookworm-slim
COPY --from=build /packages/assentd_*.deb /packages/assentctl_*.deb /packages/
RUN apt-get update && \
    apt-get install -y --no-install-recommends systemd-standalone-sysusers /packages/*.deb && \
    rm -rf /packages /var/lib/apt/lists/* && \
    install -d -o assent -g assent -m 0700 /var/lib/assent
USER assent
WORKDIR /var/lib/assent
VOLUME /var/lib/assent
# A container's network is its own: who reaches these ports is decided where they are published.
ENV ASSENT_LISTEN=0.0.0.0:7400 ASSENT_HTTP_LISTEN=0.0.0.0:7480 ASSENT_ALLOW_INSECURE=true
EXPOSE 7400 7480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m CMD ["assentctl", "health", "--timeout", "4s"]
ENTRYPOINT ["assentd", "--config", "/etc/assent/assentd.toml"]
