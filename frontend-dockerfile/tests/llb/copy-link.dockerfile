FROM busybox
WORKDIR /w
COPY --link a b/
COPY --link --chown=3:4 a /x
COPY --link --chmod=0644 a /y
COPY --link=false a /z
ADD --link a /q
ADD --link https://example.com/f.tgz /http/
FROM scratch
COPY --link a /x
COPY --link b /y
