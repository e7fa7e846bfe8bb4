// A window over depth, height and width: sizes of input and output, kernel, strides, dilations, padding before.
override in_d: u32 = 1; override in_h: u32 = 1; override in_w: u32 = 1;
override out_d: u32 = 1; override out_h: u32 = 1; override out_w: u32 = 1;
override kd: u32 = 1; override kh: u32 = 1; override kw: u32 = 1;
override sd: u32 = 1; override sh: u32 = 1; override sw: u32 = 1;
override ld: u32 = 1; override lh: u32 = 1; override lw: u32 = 1;
override pd: u32 = 0; override ph: u32 = 0; override pw: u32 = 0;
