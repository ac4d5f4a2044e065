#! build-arg HTTP_PROXY=http://upper
#! build-arg http_proxy=http://lower
#! build-arg NO_PROXY=a,b
#! build-arg Ftp_Proxy=http://ftp
FROM busybox
RUN one
ARG HTTP_PROXY
RUN two
