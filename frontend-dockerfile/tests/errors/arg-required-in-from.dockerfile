ARG VERSION
FROM alpine:${VERSION:?missing}
