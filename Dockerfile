# The image from source:   docker build -t barnabas .
# From a binary that is built already, without any network: deploy/docker/Dockerfile.prebuilt; make image does that.
# The stage that is run is the same in both.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.release=${VERSION}" -o /out/barnabas ./cmd/barnabas && mkdir /out/empty

FROM scratch
COPY --from=build /out/barnabas /barnabas
# Directories that belong to the user of the image: a volume that is mounted there for the first time takes the owner over. The data is in the first; the others are
# where files written for images of Kafka put theirs.
COPY --from=build --chown=65532:65532 /out/empty /var/lib/barnabas
COPY --from=build --chown=65532:65532 /out/empty /var/lib/kafka/data
COPY --from=build --chown=65532:65532 /out/empty /bitnami/kafka
COPY --from=build --chown=65532:65532 /out/empty /tmp
USER 65532:65532
# Defaults: any setting, from a file, a KAFKA_ variable or --set, goes before them.
ENV PATH=/ \
    BARNABAS_DEFAULT_LISTENERS=PLAINTEXT://:9092 \
    BARNABAS_DEFAULT_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092 \
    BARNABAS_DEFAULT_BARNABAS_HTTP_LISTENER=:9644 \
    BARNABAS_DEFAULT_LOG_DIR=/var/lib/barnabas
VOLUME /var/lib/barnabas
WORKDIR /var/lib/barnabas
EXPOSE 9092 9644
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/barnabas", "health", "--timeout", "4s"]
ENTRYPOINT ["/barnabas"]
