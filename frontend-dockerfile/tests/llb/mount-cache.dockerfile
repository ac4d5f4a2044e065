FROM busybox AS seed
FROM busybox
WORKDIR /w
RUN --mount=type=cache,target=/c a
RUN --mount=type=cache,id=key,target=rel,sharing=private b
RUN --mount=type=cache,target=/c/,sharing=locked,ro c
RUN --mount=type=cache,target=/d,from=seed,source=/bin d
RUN --mount=type=cache,target=/e,from=seed,uid=1,gid=2,mode=0700 e
RUN --mount=type=cache,target=/f,gid=5 f
RUN --mount=type=cache,target=/g,from=seed,source=/bin,uid=1 g
RUN --mount=type=cache,target=/h,mode=0777 h
