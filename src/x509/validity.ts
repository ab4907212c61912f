/** A moment in whole seconds, as certificates and CRLs hold it: the fraction is cut off. */
export function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}

/** Where a moment lies; both ends belong to the validity (RFC 5280 4.1.2.5). */
export function placeInTime(
  validity: { readonly notBefore: Date; readonly notAfter: Date },
  at: Date,
): "before" | "within" | "after" {
  if (at.getTime() > validity.notAfter.getTime()) return "after";
  return at.getTime() < validity.notBefore.getTime() ? "before" : "within";
}
