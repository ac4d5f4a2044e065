FROM busybox AS s
RUN one
FROM busybox AS s
RUN two
FROM scratch
COPY --from=s /x /y
