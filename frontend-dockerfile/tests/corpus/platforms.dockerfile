#! platform linux/amd64
#! platform linux/arm64
FROM --platform=$BUILDPLATFORM golang:1.22 AS build
ARG TARGETPLATFORM TARGETSTAGE
RUN build $TARGETPLATFORM
FROM alpine
COPY --from=build /out /out
