#! platform linux/arm64
FROM --platform=linux/amd64 scratch
COPY a /a
RUN ["/a"]
