#! context src=./elsewhere
#! context alpine=docker-image://busybox
#! context repo=https://example.org/repo.git#main
#! context layout=oci-layout://store:tag
#! context replaced=docker-image://ubuntu
#! context other=target:base
FROM alpine AS base
RUN a
FROM nothing AS replaced
RUN never
FROM replaced
COPY --from=src /x /y
COPY --from=repo . /repo
COPY --from=layout . /layout
COPY --from=other /a /b
RUN --mount=from=src,target=/s true
