ARG
ARG =1
FROM alpine
ARG
ARG a=1 =2
