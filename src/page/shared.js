const $ = id => document.getElementById(id);
// What would act on the text around it is shown instead: control characters, ends of lines, changes of direction.
const visible = text => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  sign => `\\u{${sign.charCodeAt(0).toString(16)}}`);
const whole = value => JSON.stringify(value, null, 1).split("\n").map(visible).join("\n");
