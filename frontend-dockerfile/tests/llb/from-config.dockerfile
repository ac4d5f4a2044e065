FROM llb-full:1
RUN echo $A
