//! How near a decoded picture is to what was encoded: SSIM over 8x8 blocks and PSNR, both of luma alone. And the cost
//! at a quality between those that were measured. Pure.

/// Edge of the blocks that SSIM looks at.
const BLOCK: usize = 8;
/// What a picture without any difference counts as, in decibels.
pub const MOST_PSNR: f64 = 99.0;

/// Pictures whose SSIM differs by no more are equally good.
pub const EQUAL_SSIM: f64 = 0.002;

/// A plane of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The rows.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// The likeness of two pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// Structural similarity, at most 1 (Wang, Bovik, Sheikh, Simoncelli 2004; blocks of 8x8 that do not overlap).
    pub ssim: f64,
    /// Mean squared error.
    pub mse: f64,
}

/// Compares `width` x `height` pixels; `None` if a plane is too short or there is no whole block.
pub fn compare(a: Plane<'_>, b: Plane<'_>, width: usize, height: usize) -> Option<Likeness> {
    let (columns, rows) = (width / BLOCK, height / BLOCK);
    if columns == 0 || rows == 0 {
        return None;
    }
    let (mut ssim, mut squares) = (0.0, 0u64);
    for row in 0..height {
        let (a, b) = (line(a, row, width)?, line(b, row, width)?);
        let error: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
        squares += u64::from(error);
    }
    for row in 0..rows {
        for column in 0..columns {
            let mut sums = Sums::default();
            for down in 0..BLOCK {
                let cells = column * BLOCK..(column + 1) * BLOCK;
                let (a, b) = (line(a, row * BLOCK + down, width)?, line(b, row * BLOCK + down, width)?);
                sums.add(a.get(cells.clone())?, b.get(cells)?);
            }
            ssim += sums.ssim();
        }
    }
    let ssim = ssim / (columns * rows) as f64;
    Some(Likeness { ssim, mse: squares as f64 / (width * height) as f64 })
}

/// Peak signal to noise ratio of a mean squared error, in decibels.
pub fn psnr(mse: f64) -> f64 {
    if mse > 0.0 { (10.0 * (255.0 * 255.0 / mse).log10()).min(MOST_PSNR) } else { MOST_PSNR }
}

fn line(plane: Plane<'_>, row: usize, width: usize) -> Option<&[u8]> {
    plane.data.get(row * plane.stride..)?.get(..width)
}

#[derive(Default)]
struct Sums {
    a: u32,
    b: u32,
    aa: u32,
    bb: u32,
    ab: u32,
}

impl Sums {
    fn add(&mut self, a: &[u8], b: &[u8]) {
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (u32::from(*a), u32::from(*b));
            self.a += a;
            self.b += b;
            self.aa += a * a;
            self.bb += b * b;
            self.ab += a * b;
        }
    }

    fn ssim(&self) -> f64 {
        const COUNT: f64 = (BLOCK * BLOCK) as f64;
        const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
        const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
        let mean = |sum: u32| f64::from(sum) / COUNT;
        let (a, b) = (mean(self.a), mean(self.b));
        let (var_a, var_b) = (mean(self.aa) - a * a, mean(self.bb) - b * b);
        let together = mean(self.ab) - a * b;
        (2.0 * a * b + C1) * (2.0 * together + C2) / ((a * a + b * b + C1) * (var_a + var_b + C2))
    }
}

/// What something costs where the SSIM is `wanted`: straight between the two measured points (SSIM, cost) around it.
/// Whoever is better than wanted everywhere pays for its coarsest picture, never less. `None` for whoever does not come
/// near it, or without points.
pub fn at_ssim(points: &[(f64, f64)], wanted: f64) -> Option<f64> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (sorted.first()?, sorted.last()?);
    if wanted <= first.0 {
        return Some(first.1);
    }
    if wanted >= last.0 {
        return (wanted - last.0 <= EQUAL_SSIM).then_some(last.1);
    }
    let above = sorted.iter().position(|p| p.0 >= wanted)?;
    let ((low, low_cost), (high, high_cost)) = (sorted[above - 1], sorted[above]);
    let part = if high > low { (wanted - low) / (high - low) } else { 1.0 };
    Some(low_cost + (high_cost - low_cost) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssim(a: &[u8], b: &[u8]) -> f64 {
        compare(Plane { data: a, stride: 8 }, Plane { data: b, stride: 8 }, 8, 8).unwrap().ssim
    }

    #[test]
    fn known_values() {
        let flat = [100u8; 64];
        assert!((ssim(&flat, &flat) - 1.0).abs() < 1e-12);
        // Only the means differ: (2 * 100 * 110 + C1) / (100 * 100 + 110 * 110 + C1), C1 = 6.5025.
        let want = (22_000.0 + 6.5025) / (22_100.0 + 6.5025);
        assert!((ssim(&flat, &[110; 64]) - want).abs() < 1e-12);
        // The same mean, opposite pattern: variance 100 each, covariance -100, C2 = 58.5225.
        let pattern: [u8; 64] = std::array::from_fn(|n| if n % 2 == 0 { 90 } else { 110 });
        let opposite = pattern.map(|v| 200 - v);
        let want = (58.5225 - 200.0) / (200.0 + 58.5225);
        assert!((ssim(&pattern, &opposite) - want).abs() < 1e-12);
        // A flat picture instead of the pattern: covariance 0, variance 100.
        let want = 58.5225 / (100.0 + 58.5225);
        assert!((ssim(&pattern, &flat) - want).abs() < 1e-12);
    }

    #[test]
    fn error_and_padding() {
        let a = vec![10u8; 20 * 16];
        let mut b = a.clone();
        b[19] = 200; // behind the row
        b[0] = 13;
        let plane = |data| Plane { data, stride: 20 };
        let likeness = compare(plane(&a), plane(&b), 16, 16).unwrap();
        assert!((likeness.mse - 9.0 / 256.0).abs() < 1e-12);
        assert!((psnr(1.0) - 48.1308).abs() < 1e-4);
        assert_eq!(psnr(0.0), MOST_PSNR);
        assert!(compare(plane(&a), plane(&b[..100]), 16, 16).is_none(), "too short");
        assert!(compare(plane(&a), plane(&b), 7, 16).is_none(), "no block");
    }

    #[test]
    fn costs_between_points() {
        let points = [(0.99, 10.0), (0.98, 6.0), (0.95, 3.0)];
        let near = |wanted, cost: f64| (at_ssim(&points, wanted).unwrap() - cost).abs() < 1e-9;
        assert!(near(0.985, 8.0) && near(0.965, 4.5) && near(0.98, 6.0));
        assert!(near(0.9, 3.0) && near(0.991, 10.0), "outside, the nearest point");
        assert_eq!(at_ssim(&points, 0.993), None, "not good enough");
        assert_eq!(at_ssim(&[], 0.9), None);
        assert_eq!(at_ssim(&[(0.9, 1.0), (0.9, 2.0)], 0.9), Some(1.0));
    }
}
