FROM busybox AS one
FROM scratch
ENV D=dst
COPY --from=one /bin/* /$D/
