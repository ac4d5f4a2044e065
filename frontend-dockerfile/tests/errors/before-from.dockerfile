ARG A=1
ENV B=2
RUN true
FROM alpine
