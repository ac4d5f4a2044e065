FROM busybox
RUN --device=vendor.com/class=dev a
RUN --device=vendor.com/class,required b
RUN --device=name=vendor.com/class=x,required=true --device=vendor.com/other c
