FROM busybox
SHELL ["/bin/ash", "-e", "-c"]
CMD a  b   "c"
ENTRYPOINT x 'y'
RUN z
