#! platform linux/arm64
FROM llb-full:1
RUN x
COPY a /a
WORKDIR /w
