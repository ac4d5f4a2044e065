#! platform linux/arm/v7
FROM llb-full:1
ARG TARGETPLATFORM TARGETVARIANT
RUN x
