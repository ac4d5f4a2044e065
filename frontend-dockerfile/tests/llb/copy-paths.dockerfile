FROM busybox AS unused
COPY nothing /x
FROM busybox AS used
COPY z/1 y/2 /a/
FROM used
COPY x /a
RUN --mount=source=w/v,target=/m true
