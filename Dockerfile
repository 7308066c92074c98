# The settled binary alone, on an image with neither shell nor package manager.
#   docker build -t settled .
#   docker run --rm settled --help

FROM golang:1.26-bookworm AS build
WORKDIR /src
# Modules change less often than code: their layer is kept between builds.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Static, so that it runs without a C library; without VCS stamps, so that the
# build needs no Git and gives the same bytes from the same source.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /settled ./cmd/settled
# A volume that is mounted there takes its owner from the image's directory.
RUN mkdir /channels

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /settled /usr/local/bin/settled
COPY --from=build --chown=nonroot:nonroot /channels /channels
USER nonroot:nonroot
# 8080: HTTP API. 9090: /metrics and /healthz.
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/settled"]
