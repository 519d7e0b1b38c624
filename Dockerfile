# Earshot in a container: the one binary with every role, `up` if none is named.
#
#   docker build -t earshot .
#   docker run -p 127.0.0.1:5000:5000 -p 127.0.0.1:4444:4444 earshot
#
# Both the legacy builder and BuildKit take it. So there are no cache mounts and no
# here-documents; what is slow and seldom changes has layers of its own instead.

FROM golang:1.26-bookworm AS build
# By this label the stages of old builds are found and removed.
LABEL earshot.stage=build
RUN apt-get update \
 && apt-get install -y --no-install-recommends libzmq3-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV CGO_ENABLED=1 GOFLAGS="-tags=nomsgpack -trimpath"
COPY go.mod go.sum ./
# The libraries are compiled here, so that a change of our own code takes seconds. The
# list does not have to be complete: what is not in it is compiled below.
RUN go mod download \
 && go build github.com/danielgtaylor/huma/v2/adapters/humagin github.com/gin-gonic/gin \
    github.com/pebbe/zmq4 github.com/prometheus/client_golang/prometheus/promhttp \
    github.com/sirupsen/logrus/hooks/slog github.com/spf13/cobra go.yaml.in/yaml/v3
ARG VERSION=dev
COPY . .
RUN go build -ldflags "-s -w -X main.version=$VERSION" -o /earshot ./cmd/earshot

FROM debian:bookworm-slim
# An empty volume takes the owner of /data from here, so that nobody has to be root.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libzmq5 \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
 && install -d -m 0750 -o 65532 -g 65532 /data

# Inside, a role listens on every address; what is published decides who can reach it.
# Health, metrics and admin believe that the network is private: publish 5001 on
# loopback only, or set EARSHOT_ADMIN_TOKEN_FILE and EARSHOT_ADMIN_PRIVATE=false.
ENV EARSHOT_DATA=/data \
    EARSHOT_HTTP_LISTEN=0.0.0.0:5000 \
    EARSHOT_FEED_TEXT=tcp://0.0.0.0:4444 \
    EARSHOT_FEED_RECORD=tcp://0.0.0.0:4445 \
    EARSHOT_FEED_REPLAY=tcp://0.0.0.0:4446 \
    EARSHOT_ADMIN_LISTEN=0.0.0.0:5001 \
    EARSHOT_AGENT_LISTEN=0.0.0.0:5002 \
    EARSHOT_ADMIN_PRIVATE=true
EXPOSE 5000 4444 4445 4446
VOLUME /data
WORKDIR /data
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s CMD ["earshot", "healthcheck"]
ENTRYPOINT ["earshot"]
CMD ["up"]
COPY --from=build /earshot /usr/local/bin/earshot
ARG VERSION=dev
LABEL org.opencontainers.image.title="Earshot" \
      org.opencontainers.image.description="Every answer of HTTP services in the log, over ZeroMQ" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
