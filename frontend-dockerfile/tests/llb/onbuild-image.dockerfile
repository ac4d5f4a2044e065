FROM llb-onbuild:1
RUN after
