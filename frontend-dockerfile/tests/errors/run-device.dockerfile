FROM alpine
RUN --device=vendor.com/gpu=0,requird true
RUN --device=a/b=c,name=d/e=f true
RUN --device=a/b=c,required=maybe true
RUN --device='a,"b' true
