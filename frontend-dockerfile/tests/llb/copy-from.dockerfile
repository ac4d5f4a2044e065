FROM busybox AS one
FROM one AS two
RUN x
FROM busybox
COPY --from=one /bin/sh /1
COPY --from=1 bin/sh /2
COPY --from=two /etc /etc2
COPY --from=llb-full:1 /marker /m
COPY --from=busybox /bin /b
