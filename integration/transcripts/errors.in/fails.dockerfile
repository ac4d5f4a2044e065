FROM busybox
RUN echo 'no such header' >&2; exit 2
