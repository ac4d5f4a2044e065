FROM alpine
RUN --mount=type=cahce,target=/x true
RUN --mount=type=volume,target=/x true
RUN --mount=type=,target=/x true
RUN --mount=type,target=/x true
