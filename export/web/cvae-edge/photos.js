/** Image files, as a browser decodes them. */
import { CvaeEdgeError } from "./errors.js";
import { fromRGBA } from "./pixels.js";

/**
 * Read an image file upright, as EXIF says: {data: Uint8Array, shape: [height, width, channels]}.
 *
 * Browsers give 8 bits a channel, and a canvas rounds colours that are partly transparent.
 */
export async function readImage(blob) {
  const options = {
    imageOrientation: "from-image",
    premultiplyAlpha: "none",
    colorSpaceConversion: "none", // the values as they stand in the file
  };
  const bitmap = await createImageBitmap(blob, options).catch(() => {
    throw new CvaeEdgeError(`${blob.name ?? "the file"} is not a readable image`);
  });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  return fromRGBA(data, width, height);
}
