from busybox as Build
run true
FROM scratch
copy --from=BUILD /bin/sh /
