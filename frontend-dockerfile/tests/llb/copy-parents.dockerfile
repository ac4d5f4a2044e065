FROM busybox
COPY --parents a/b/c /dst/
COPY --parents x/./y/z /dst/
COPY --parents ./p/*.txt q/**/r /dst/
COPY --parents /abs/./f /dst/
