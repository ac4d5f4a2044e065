FROM --platform=linux/arm64 llb-full:1
RUN x
