FROM llb-arm:1
RUN x
