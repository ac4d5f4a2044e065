FROM busybox
RUN echo compiling; echo 'no such header' >&2; exit 2
