FROM busybox
RUN echo this never runs
COPY scr/main.c /
