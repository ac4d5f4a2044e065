#! no-cache
FROM busybox AS a
WORKDIR /w
RUN x
COPY a /a
COPY --link b /b
FROM a
RUN --mount=type=cache,target=/c y
ADD https://example.com/f /f
