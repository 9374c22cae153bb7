//! Encryption of what is stored about Qontak's tokens: AES-256-GCM.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::error::Error;

/// Encrypts with a key derived from `database.encryption_key`.
pub struct Cipher(LessSafeKey);

impl Cipher {
    /// Derives the key. The setting is random, so a hash is enough.
    pub fn new(secret: &SecretString) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tokens of Qontak\n");
        hash.update(secret.expose_secret());
        let key = UnboundKey::new(&AES_256_GCM, &hash.finalize()).expect("SHA-256 has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `text` for the row named `row`; another row cannot be decrypted from it. The nonce,
    /// which is random, precedes the ciphertext.
    pub fn encrypt(&self, row: &str, text: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the operating system has random numbers");
        let mut sealed = text.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(row.as_bytes()),
                &mut sealed,
            )
            .expect("tokens are much shorter than the limit of AES-GCM");
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts what [`Cipher::encrypt`] returned for the same row.
    pub fn decrypt(&self, row: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Error::Decrypt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Decrypt)?;
        let mut text = text.to_vec();
        let aad = Aad::from(row.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut text).map_err(|_| Error::Decrypt)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_row_decrypt() {
        let cipher = Cipher::new(&"a key".into());
        let sealed = cipher.encrypt("shop", b"token");
        assert_eq!(cipher.decrypt("shop", &sealed).unwrap(), b"token");
        assert_ne!(sealed, cipher.encrypt("shop", b"token"));
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert!(cipher.decrypt("another", &sealed).is_err());
        assert!(Cipher::new(&"another key".into()).decrypt("shop", &sealed).is_err());
        for length in [0, 5, NONCE_LEN, sealed.len() - 1] {
            assert!(cipher.decrypt("shop", &sealed[..length]).is_err(), "{length}");
        }
    }
}
