#! platform linux/amd64
#! platform linux/arm/v7
FROM llb-full:1 AS a
ARG TARGETPLATFORM
RUN one
FROM scratch
COPY --from=a /x /y
COPY --from=llb-full:1 /marker /m
