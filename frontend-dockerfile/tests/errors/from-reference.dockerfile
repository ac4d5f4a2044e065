FROM MyImage
FROM alpine:la:test
FROM alpine@sha256:123
FROM https://example.com/image
