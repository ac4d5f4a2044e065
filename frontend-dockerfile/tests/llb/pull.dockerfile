#! pull
FROM busybox
RUN x
COPY --from=llb-full:1 /a /b
