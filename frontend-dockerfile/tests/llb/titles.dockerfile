from busybox as Build
env  A="x y"
run   echo "$A"   $HOME
copy  ["a b", "/c"]
workdir   /w  w
add --chown=$A a \
   /two
RUN --mount=type=secret,id=t,env=A --mount=type=secret,id=u,env=TOKEN echo $A $TOKEN
