#! network none
FROM busybox
RUN --network=default c
RUN --network=host b
